"""Steps on the page of a server, in a real browser."""

import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.reports.browser import Tab
from tests.scoring.service.server import Server

WIDE, PHONE = 1000, 360
PATIENCE_S = 60


def wait_for(tab: Tab, condition: str) -> Any:
    """The value of an expression as soon as it is true."""
    end = time.monotonic() + PATIENCE_S
    while not (value := tab.ask(condition)):
        assert time.monotonic() < end, condition
    return value


def visit(tab: Tab, server: Server, width: int = WIDE, dark: bool = False) -> None:
    """Open the page; it is ready when the field for texts has the focus."""
    tab.open(server.address, width, dark)
    wait_for(tab, "document.activeElement.id === 'texts'")


def type_text(tab: Tab, text: str) -> None:
    tab.call("Input.insertText", text=text)


def press(tab: Tab, key: str, code: int, modifiers: int = 0) -> None:
    text = {"text": "\r"} if key == "Enter" else {}
    for kind, written in (("keyDown", text), ("keyUp", {})):
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code,
                 modifiers=modifiers, **written)


def names_by_role(tab: Tab) -> dict[str, set[str]]:
    """Names of all that assistive programs see, by role."""
    names = defaultdict(set)
    for node in tab.call("Accessibility.getFullAXTree")["nodes"]:
        if "name" in node and "role" in node:
            names[node["role"]["value"]].add(node["name"]["value"])
    return names


def click(tab: Tab, selector: str) -> None:
    tab.ask(f"document.querySelector('{selector}').click(), 0")


def choose_file(tab: Tab, path: Path) -> None:
    """Choose a file as in the browser's dialog."""
    root = tab.call("DOM.getDocument")["root"]["nodeId"]
    node = tab.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    tab.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


def drop_file(tab: Tab, path: Path) -> None:
    """Drag a file onto the page and let it go."""
    for kind in ("dragEnter", "dragOver", "drop"):
        tab.call("Input.dispatchDragEvent", type=kind, x=100, y=100, data={
            "items": [], "files": [str(path)], "dragOperationsMask": 1})


def download(tab: Tab, folder: Path, name: str) -> str:
    """Click the link of the scored file; the text that is saved."""
    folder.mkdir()
    tab.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    wait_for(tab, "document.querySelector('#scored a') !== null")
    click(tab, "#scored a")
    end = time.monotonic() + PATIENCE_S
    while not (folder / name).is_file():
        assert time.monotonic() < end, [*folder.iterdir()]
    return (folder / name).read_bytes().decode()
