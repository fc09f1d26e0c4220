"""People in moving pictures: frames, detectors, tracks, live cameras."""
