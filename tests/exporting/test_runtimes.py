"""What OpenVINO's packages would report about their users stays here."""

import subprocess
import sys

ASK = """
import sys
from crosslight.exporting.runtimes import without_telemetry

with without_telemetry():
    import nncf.telemetry
    import openvino
print("openvino_telemetry" in sys.modules, type(nncf.telemetry.telemetry).__name__)
import openvino_telemetry
"""


def test_telemetry_stays_off_and_others_may_still_load_it() -> None:
    ran = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["False", "MagicMock"]
