"""Person search: stores of enrolled people, ranked answers, calibration, video, service."""
