"""Writes a review of ``spillway diff -o markdown`` as the one comment of a pull request.

The comment is found again by its hidden first line and by who wrote it; nobody else's comment is ever touched. Needs
nothing but Python. Variables: GITHUB_API_URL, GITHUB_REPOSITORY, PULL_REQUEST, COMMENT_TOKEN; COMMENT_AUTHOR where the
token is not that of GitHub Actions.
"""

import http.client
import json
import os
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

TAG_LINE = re.compile(r"<!-- spillway-diff: (?P<plans>.*) tag=(?P<tag>[A-Za-z0-9_.-]+) -->")
NOTHING = "no change"
PER_PAGE = 100
SECONDS = 30


class ApiError(Exception):
    """What the API answered, in one line."""


def request(method: str, path: str, body: object = None) -> object:
    """The answer as JSON. Redirects are not followed: the token goes to one host."""
    api = urlsplit(os.environ["GITHUB_API_URL"])
    made = http.client.HTTPSConnection if api.scheme == "https" else http.client.HTTPConnection
    connection = made(api.netloc, timeout=SECONDS)
    headers = {
        "Authorization": f"Bearer {os.environ['COMMENT_TOKEN']}",
        "Accept": "application/vnd.github+json",
        "Content-Type": "application/json",
        "User-Agent": "spillway-diff",
    }
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


def find(comments: str, tag: str, author: str) -> "dict | None":
    """Our comment with this tag, the oldest one."""
    page = 1
    while True:
        found = request("GET", f"{comments}?per_page={PER_PAGE}&page={page}")
        for comment in found:
            line = tag_of(comment.get("body") or "")
            if line and line["tag"] == tag and (comment.get("user") or {}).get("login") == author:
                return comment
        if len(found) < PER_PAGE:
            return None
        page += 1


def main() -> str:
    """Creates or updates the comment; says which."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    line = tag_of(text)
    if line is None:
        raise ApiError(f"{sys.argv[1]}: is no output of spillway diff -o markdown")
    repository = f"/repos/{os.environ['GITHUB_REPOSITORY']}"
    comments = f"{repository}/issues/{int(os.environ['PULL_REQUEST'])}/comments"
    author = os.environ.get("COMMENT_AUTHOR") or "github-actions[bot]"
    there = find(comments, line["tag"], author)
    if there is None and line["plans"] == NOTHING:
        return "nothing changes, and no comment is there to update"
    if there is None:
        request("POST", comments, {"body": text})
        return "comment created"
    if (there.get("body") or "").splitlines() == text.splitlines():
        return "comment is up to date"
    request("PATCH", f"{repository}/issues/comments/{int(there['id'])}", {"body": text})
    return "comment updated"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{main()}\n")
    except KeyError as missing:
        sys.exit(f"error: variable {missing.args[0]} is not set")
    except (ApiError, OSError, http.client.HTTPException, ValueError, IndexError) as error:
        sys.exit(f"error: {error}")
