"""Take pip and its like out of the base image: a production image installs nothing."""

import pathlib
import shutil
import sys
import sysconfig

for folder in filter(None, sys.path):
    for name in ("pip", "ensurepip", "setuptools", "wheel"):
        place = pathlib.Path(folder, name)
        if place.is_dir():
            shutil.rmtree(place)
            for left in pathlib.Path(folder).glob(f"{name}-*.dist-info"):
                shutil.rmtree(left)
for folder in {sysconfig.get_path("scripts"), str(pathlib.Path(sys.executable).parent), "/usr/bin"}:
    for script in pathlib.Path(folder).glob("pip*"):
        script.unlink()
