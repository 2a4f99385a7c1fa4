"""A Flask application with its sessions in Flask-Session and its pages and functions in Flask-Caching."""

import sys

import redis
from flask import Flask, session
from flask_caching import Cache
from flask_session import Session

PORT = int(sys.argv[1])

app = Flask(__name__)
app.config.update(
    SESSION_TYPE="redis",
    SESSION_REDIS=redis.Redis(port=PORT),
    CACHE_TYPE="RedisCache",
    CACHE_REDIS_PORT=PORT,
)
Session(app)
cache = Cache(app)
computed = []


@app.post("/login/<user>")
def login(user):
    session["user"] = user
    session["basket"] = []
    return "welcome"


@app.get("/me")
def me():
    return session.get("user", "nobody")


@app.post("/basket/<thing>")
def add(thing):
    session["basket"] = [*session["basket"], thing]
    return str(len(session["basket"]))


@app.get("/page/<int:number>")
@cache.cached(timeout=300)
def page(number):
    computed.append(f"page {number}")
    return f"page {number}: {article(number)}"


@cache.memoize()
def article(number):
    computed.append(f"article {number}")
    return f"article {number}" * 20


@app.post("/page/<int:number>")
def edit(number):
    cache.delete_memoized(article, number)
    cache.delete(f"view//page/{number}")
    return "edited"


users = {}
for user in ("ann", "bob", "cid"):
    users[user] = app.test_client()
    print("before the login:", users[user].get("/me").text)
    print("login:", users[user].post(f"/login/{user}").text)
for number in range(60):
    for user, browser in users.items():
        print(browser.get("/me").text, browser.get(f"/page/{number % 5}").text[:20], end=" ")
        if number % 20 == 0:
            print("basket:", browser.post(f"/basket/{number}").text, end=" ")
    if number % 25 == 24:
        print("edit:", users["ann"].post(f"/page/{number % 5}").text, end=" ")
    print()
with app.app_context():
    cache.set("settings", {"theme": "dark"})
    cache.set_many({f"item:{number}": number for number in range(10)})
    for _ in range(20):
        print(cache.get("settings"), cache.get_many(*(f"item:{number}" for number in range(10))))
        print(cache.has("settings"), [article(number)[:10] for number in range(5)])
    cache.delete("settings")
    print(cache.get("settings"), cache.has("settings"))
print("computed:", computed)
