# SPDX-License-Identifier: GPL-3.0-or-later
"""Harbor's API for robot accounts on loopback, as captured of a real one; faults on demand."""

from __future__ import annotations

import base64
import json
import re
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import loopback

ADMIN = ("admin", "Harbor12345")
PROJECTS = {"apps": 2}
DAY = 86400


class FakeHarborApi:
    """``answers`` are (status, body) given first, one a request; ``requests`` what came, secrets in it."""

    def __init__(self):
        self.robots, self.secrets, self.requests, self.answers = {}, {}, [], []
        self.next = 1

    def add(self, name, secret, *, age=0, duration=-1, **fields):
        """A robot made ``age`` days ago; its id."""
        created = datetime.now(UTC) - timedelta(days=age)
        access = [{"resource": "repository", "action": "pull"}]
        robot = {
            "id": self.next,
            "name": f"robot${name}",
            "level": "project" if "+" in name else "system",
            "creation_time": created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "disable": False,
            "permissions": [{"kind": "project", "namespace": "*", "access": access}],
            **fields,
        }
        self.robots[self.next], self.secrets[self.next] = self._lasting(robot, duration), secret
        self.next += 1
        return robot["id"]

    def _lasting(self, robot, days):
        created = datetime.fromisoformat(robot["creation_time"]).timestamp()
        return {**robot, "duration": days, "expires_at": -1 if days == -1 else int(created + days * DAY)}

    def opens(self, name, secret):
        for number, robot in self.robots.items():
            lasts = robot["expires_at"] == -1 or robot["expires_at"] > time.time()
            if robot["name"] == name and self.secrets[number] == secret and lasts and not robot["disable"]:
                return True
        return False

    def __call__(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        parts = urlsplit(handler.path)
        self.requests.append((handler.command, handler.path, body.decode()))
        if self.answers:
            status, text = self.answers.pop(0)
            return loopback.reply(handler, status, text.encode())
        given = base64.b64decode(handler.headers.get("Authorization", "")[6:]).decode().partition(":")
        if parts.path == "/v2/":
            return loopback.reply(handler, 200 if self.opens(given[0], given[2]) else 401)
        if (given[0], given[2]) != ADMIN:
            return _error(handler, 401, "UNAUTHORIZED", "unauthorized")
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        return self._answer(handler, parts.path.removeprefix("/api/v2.0"), asked, json.loads(body or b"null"))

    def _answer(self, handler, path, asked, body):
        if found := re.fullmatch("/projects/(.+)", path):
            number = PROJECTS.get(found[1])
            missing = f"project {found[1]} not found"
            return _json(handler, {"project_id": number}) if number else _error(handler, 404, "NOT_FOUND", missing)
        if path == "/robots":
            return self._create(handler, body) if handler.command == "POST" else self._list(handler, asked)
        number = int(path.removeprefix("/robots/"))
        if number not in self.robots:
            return _error(handler, 404, "NOT_FOUND", f"robot with id {number} not found")
        return self._one(handler, number, body)

    def _list(self, handler, asked):
        wanted = dict(pair.split("=") for pair in asked.get("q", "").split(",") if pair)
        found = [
            robot
            for robot in self.robots.values()
            if robot["name"] == f"robot${wanted['name']}" and robot["level"] == wanted.get("Level", "system")
        ]
        first = (int(asked["page"]) - 1) * int(asked["page_size"])
        return _json(handler, found[first : first + int(asked["page_size"])], X_Total_Count=str(len(found)))

    def _create(self, handler, body):
        name = f"{body['permissions'][0]['namespace']}+{body['name']}" if body["level"] == "project" else body["name"]
        if any(robot["name"] == f"robot${name}" for robot in self.robots.values()):
            return _error(handler, 409, "CONFLICT", f"robot account 0:{name} already exists")
        kept = {key: body[key] for key in ("permissions", "description")}
        number = self.add(name, "of-harbor", duration=body["duration"], **kept)  # without "disable", as Harbor
        return _json(handler, {"id": number, "name": self.robots[number]["name"], "secret": "of-harbor"}, status=201)

    def _one(self, handler, number, body):
        if handler.command == "GET":
            return _json(handler, self.robots[number])
        if handler.command == "PATCH":
            self.secrets[number] = body["secret"]
            return _json(handler, {})
        if handler.command == "PUT":
            kept = {key: body[key] for key in ("permissions", "description", "disable")}
            robot = {**self.robots[number], **kept}
            self.robots[number] = (
                self._lasting(robot, body["duration"]) if robot["duration"] != body["duration"] else robot
            )
        else:
            del self.robots[number]
        return loopback.reply(handler, 200, b"")


def _json(handler, data, *, status=200, **headers):
    return loopback.reply(handler, status, json.dumps(data).encode(), Content_Type="application/json", **headers)


def _error(handler, status, code, message):
    return _json(handler, {"errors": [{"code": code, "message": message}]}, status=status)
