"""What tools put into a virtual environment is neither the project's code nor a missing file."""

from helpers.zoo import SITE, clean_image, codes, distribution, layer
from shipwheel.verify.check import Question, make_subject
from shipwheel.verify.fast import first_party_layers


def test_a_script_of_the_environments_own_is_no_code_of_the_project() -> None:
    # As virtualenv makes it: with a large layer of dependencies around, an edit would seem to push them.
    large = {f"{SITE}/large/data.bin": bytes(range(256)) * 8000}
    script = {"app/.venv/bin/activate_this.py": b"import os\n"}
    image = clean_image(layer({**distribution("large", "1", {"large/__init__.py": b""}), **large, **script}))
    assert "edit-pushes-dependencies" not in codes(image)
    layers = first_party_layers(make_subject(Question(image=image, name="zoo")))
    assert list(layers.values()) == [["app/main.py"]]


def test_folders_for_bytecode_that_record_lists_are_not_missed() -> None:
    files = distribution("pip-less", "1", {"pip_less/__init__.py": b"", "pip_less/__pycache__": b""})
    del files[f"{SITE}/pip_less/__pycache__"]
    assert "package-incomplete" not in codes(clean_image(layer(files)))
