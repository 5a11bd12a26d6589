"""A web application whose users log in with CameraManager: Flask, with many workers.

    pip install 'cmauth[requests,redis]' flask gunicorn
    gunicorn --workers 2 flask_app:app

A user who logs in with two browsers has one session in Redis, which all workers share. The cookie
has the ID of the user, signed; the tokens stay on the server.

Environment variables: CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET (the API key), PUBLIC_URL (of this application, such as
https://portal.example), REDIS_URL (such as redis://127.0.0.1:6379) and COOKIE_KEY (secrets.token_hex(32), the same for
all workers). For a test server: CMAUTH_BASE_URL and CMAUTH_CA_FILE.
"""

from __future__ import annotations

import os
import secrets

import cmauth
import redis
import requests
from flask import Flask, Response, abort, redirect, request, session

PUBLIC_URL = os.environ["PUBLIC_URL"]  # of this application: "https://portal.example"
SERVER = os.environ.get("CMAUTH_BASE_URL", cmauth.DEFAULT_BASE_URL)
CA_FILE = os.environ.get("CMAUTH_CA_FILE")

client = cmauth.Client(
    os.environ["CMAUTH_CLIENT_ID"], os.environ["CMAUTH_CLIENT_SECRET"], base_url=SERVER, ca_file=CA_FILE
)
database = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
# Redis drops a user who has not come back for 90 days.
sessions = cmauth.Sessions.in_redis(client, database, "cameramanager", expire=90 * 86400)

app = Flask(__name__)
app.secret_key = os.environ["COOKIE_KEY"]  # the same for all workers: secrets.token_hex(32)
app.config["SESSION_COOKIE_SECURE"] = PUBLIC_URL.startswith("https:")
app.config["SESSION_COOKIE_SAMESITE"] = "Lax"


@app.get("/login")
def login() -> Response:
    # The browser may come back to another worker, so the login waits in Redis.
    begun = client.begin_login(f"{PUBLIC_URL}/callback")
    key = secrets.token_urlsafe()
    database.set(f"login:{key}", begun.to_json(), ex=3600)
    session["login"] = key
    return redirect(begun.url)


@app.get("/callback")
def callback() -> Response:
    begun = database.getdel(f"login:{session.pop('login', '')}")
    if begun is None:
        abort(400, "This login has ended. Begin again at /login.")
    again = cmauth.Login.from_json(client, begun.decode())
    tokens = again.finish(f"{PUBLIC_URL}/callback?{request.query_string.decode()}")
    user = client.user(tokens)
    sessions.get(user.id).start(tokens)
    session["user"] = user.id
    return redirect("/cameras")


@app.get("/cameras")
def cameras() -> object:
    auth = cmauth.Auth(session_of_user())
    response = requests.get(f"{SERVER}/rest/v2.4/cameras", auth=auth, verify=CA_FILE or True, timeout=30)
    response.raise_for_status()
    return response.json()


@app.get("/logout")
def logout() -> str:
    user = session_of_user()
    session.clear()
    # The login ends for all browsers of the user.
    user.logout()
    return "Logged out."


def session_of_user() -> cmauth.Session:
    user = session.get("user")
    if user is None:
        abort(401, "Log in at /login.")
    return sessions.get(user)


@app.errorhandler(cmauth.LoginError)
def log_in_again(_error: cmauth.LoginError) -> Response:
    return redirect("/login")
