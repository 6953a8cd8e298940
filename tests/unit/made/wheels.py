"""Wheels as an index has them, in a folder that pip looks into instead."""

import zipfile


def make_wheel(folder, name="tiny-model", version="1.0", files=()):
    """files: {path inside the wheel: bytes}."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{name.replace('-', '_')}-{version}"
    wheel = folder / f"{stem}-py3-none-any.whl"
    info = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Requires-Dist: no-such-package\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in dict(files).items():
            archive.writestr(path, content)
        for path, text in info.items():
            archive.writestr(f"{stem}.dist-info/{path}", text)
    return wheel


def only_from(monkeypatch, folder):
    """Let pip look nowhere but into a folder."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
