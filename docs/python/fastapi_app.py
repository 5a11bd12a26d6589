"""A web application whose users log in with CameraManager: FastAPI, with many workers.

    pip install 'cmauth[httpx,redis]' fastapi uvicorn itsdangerous
    uvicorn fastapi_app:app --workers 2

A user who logs in with two browsers has one session in Redis, which all workers share. The cookie
has the ID of the user, signed; the tokens stay on the server.

Environment variables: CMAUTH_CLIENT_ID and CMAUTH_CLIENT_SECRET (the API key), PUBLIC_URL (of this application, such as
https://portal.example), REDIS_URL (such as redis://127.0.0.1:6379) and COOKIE_KEY (secrets.token_hex(32), the same for
all workers). For a test server: CMAUTH_BASE_URL and CMAUTH_CA_FILE.
"""

from __future__ import annotations

import os
import secrets
import ssl

import cmauth
import httpx
import redis
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

PUBLIC_URL = os.environ["PUBLIC_URL"]  # of this application: "https://portal.example"
SERVER = os.environ.get("CMAUTH_BASE_URL", cmauth.DEFAULT_BASE_URL)
CA_FILE = os.environ.get("CMAUTH_CA_FILE")

client = cmauth.Client(
    os.environ["CMAUTH_CLIENT_ID"], os.environ["CMAUTH_CLIENT_SECRET"], base_url=SERVER, ca_file=CA_FILE
)
database = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
# Redis drops a user who has not come back for 90 days.
sessions = cmauth.Sessions.in_redis(client, database, "cameramanager", expire=90 * 86400)
api = httpx.AsyncClient(base_url=SERVER, verify=ssl.create_default_context(cafile=CA_FILE))

app = FastAPI()
app.add_middleware(
    SessionMiddleware,
    secret_key=os.environ["COOKIE_KEY"],  # the same for all workers: secrets.token_hex(32)
    https_only=PUBLIC_URL.startswith("https:"),
)


@app.get("/login")
def login(request: Request) -> RedirectResponse:
    # The browser may come back to another worker, so the login waits in Redis.
    begun = client.begin_login(f"{PUBLIC_URL}/callback")
    key = secrets.token_urlsafe()
    database.set(f"login:{key}", begun.to_json(), ex=3600)
    request.session["login"] = key
    return RedirectResponse(begun.url)


@app.get("/callback")
def callback(request: Request) -> RedirectResponse:
    begun = database.getdel(f"login:{request.session.pop('login', '')}")
    if begun is None:
        raise HTTPException(400, "This login has ended. Begin again at /login.")
    again = cmauth.Login.from_json(client, begun.decode())
    tokens = again.finish(f"{PUBLIC_URL}/callback?{request.url.query}")
    user = client.user(tokens)
    sessions.get(user.id).start(tokens)
    request.session["user"] = user.id
    return RedirectResponse("/cameras")


@app.get("/cameras")
async def cameras(request: Request) -> object:
    session = await session_of(request)
    response = await api.get("/rest/v2.4/cameras", auth=cmauth.HttpxAuth(session))
    response.raise_for_status()
    return response.json()


@app.get("/logout")
async def logout(request: Request) -> str:
    session = await session_of(request)
    request.session.clear()
    # The login ends for all browsers of the user.
    await session.logout()
    return "Logged out."


async def session_of(request: Request) -> cmauth.AsyncSession:
    user = request.session.get("user")
    if user is None:
        raise HTTPException(401, "Log in at /login.")
    return await sessions.get_async(user)


@app.exception_handler(cmauth.LoginError)
async def log_in_again(_request: Request, _error: Exception) -> RedirectResponse:
    return RedirectResponse("/login")
