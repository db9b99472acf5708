"""A page of responses, read as a browser reads it."""

import json
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Elements of a page, and the JSON it carries."""

    def __init__(self, path: Path):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.scripts: list[str] = []
        self.text = path.read_text()
        self.feed(self.text)
        self.content = json.loads(self.scripts[0])

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text):
        if self.elements and self.elements[-1][0] == "script":
            self.scripts[-1] += text
