"""Writes a review of ``spillway diff -o markdown`` as the one note of a merge request.

The note is found again by its hidden first line and by who wrote it; nobody else's note is ever touched. Needs nothing
but Python. Variables: CI_API_V4_URL, CI_PROJECT_ID, CI_MERGE_REQUEST_IID, SPILLWAY_GITLAB_TOKEN.
"""

import http.client
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

TAG_LINE = re.compile(r"<!-- spillway-diff: (?P<plans>.*) tag=(?P<tag>[A-Za-z0-9_.-]+) -->")
NOTHING = "no change"
PER_PAGE = 100
SECONDS = 30


class ApiError(Exception):
    """What the API answered, in one line."""


def request(method: str, path: str, body: object = None) -> object:
    """The answer as JSON. Redirects are not followed: the token goes to one host."""
    api = urlsplit(os.environ["CI_API_V4_URL"])
    made = http.client.HTTPSConnection if api.scheme == "https" else http.client.HTTPConnection
    connection = made(api.netloc, timeout=SECONDS)
    headers = {"PRIVATE-TOKEN": os.environ["SPILLWAY_GITLAB_TOKEN"], "Content-Type": "application/json"}
    try:
        connection.request(method, api.path.rstrip("/") + path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    if answer.status >= 300:
        raise ApiError(f"{method} {path}: {answer.status} {answer.reason}")
    return json.loads(text)


def tag_of(text: str) -> "re.Match[str] | None":
    """The hidden first line, if there is one."""
    lines = text.splitlines()
    return TAG_LINE.fullmatch(lines[0].strip()) if lines else None


def find(notes: str, tag: str, author: int) -> "dict | None":
    """Our note with this tag, the oldest one."""
    page = 1
    while True:
        found = request("GET", f"{notes}?sort=asc&order_by=created_at&per_page={PER_PAGE}&page={page}")
        for note in found:
            line = tag_of(note.get("body") or "")
            ours = not note.get("system") and (note.get("author") or {}).get("id") == author
            if line and line["tag"] == tag and ours:
                return note
        if len(found) < PER_PAGE:
            return None
        page += 1


def main() -> str:
    """Creates or updates the note; says which."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    line = tag_of(text)
    if line is None:
        raise ApiError(f"{sys.argv[1]}: is no output of spillway diff -o markdown")
    project = quote(os.environ["CI_PROJECT_ID"], safe="")
    notes = f"/projects/{project}/merge_requests/{int(os.environ['CI_MERGE_REQUEST_IID'])}/notes"
    author = request("GET", "/user")["id"]
    there = find(notes, line["tag"], author)
    if there is None and line["plans"] == NOTHING:
        return "nothing changes, and no note is there to update"
    if there is None:
        request("POST", notes, {"body": text})
        return "note created"
    if (there.get("body") or "").splitlines() == text.splitlines():
        return "note is up to date"
    request("PUT", f"{notes}/{int(there['id'])}", {"body": text})
    return "note updated"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{main()}\n")
    except KeyError as missing:
        sys.exit(f"error: variable {missing.args[0]} is not set")
    except (ApiError, OSError, http.client.HTTPException, ValueError, IndexError) as error:
        sys.exit(f"error: {error}")
