"""Take pip and its like out of the base image: a production image installs nothing."""

import importlib.util
import pathlib
import shutil
import sys
import sysconfig

for name in ("pip", "ensurepip", "setuptools", "wheel"):
    found = importlib.util.find_spec(name)
    for place in (found and found.submodule_search_locations) or ():
        shutil.rmtree(place)
        for left in pathlib.Path(place).parent.glob(f"{name}-*-info"):
            shutil.rmtree(left)
for folder in {sysconfig.get_path("scripts"), str(pathlib.Path(sys.executable).parent), "/usr/bin"}:
    for script in pathlib.Path(folder).glob("pip*"):
        script.unlink()
