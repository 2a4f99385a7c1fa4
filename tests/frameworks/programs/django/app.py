"""A Django application with its cache and its sessions in Redis, by the backend that its first argument names."""

import sys

import django
from django.conf import settings
from django.http import HttpResponse
from django.urls import path

PORT = int(sys.argv[2])
BACKENDS = {
    "django": "django.core.cache.backends.redis.RedisCache",
    "django-redis": "django_redis.cache.RedisCache",
}

settings.configure(
    SECRET_KEY="secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={"default": {"BACKEND": BACKENDS[sys.argv[1]], "LOCATION": f"redis://127.0.0.1:{PORT}"}},
)

from django.core.cache import cache  # noqa: E402, it needs the settings
from django.views.decorators.cache import cache_page  # noqa: E402

computed = []


def login(request, user):
    request.session["user"] = user
    request.session.cycle_key()
    return HttpResponse("welcome")


def me(request):
    return HttpResponse(request.session.get("user", "nobody"))


def visit(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


def logout(request):
    request.session.flush()
    return HttpResponse("bye")


@cache_page(300)
def page(request, number):
    computed.append(f"page {number}")
    return HttpResponse(f"page {number}: {article(number)}")


def article(number):
    def compute():
        computed.append(f"article {number}")
        return f"article {number}" * 20

    return cache.get_or_set(f"article:{number}", compute, 300)


urlpatterns = [
    path("login/<user>", login),
    path("me", me),
    path("visit", visit),
    path("logout", logout),
    path("page/<int:number>", page),
]


def main():
    django.setup()
    from django.test import Client

    users = {user: Client() for user in ("ann", "bob", "cid")}
    for user, browser in users.items():
        print("login:", browser.get("/me").content, browser.get(f"/login/{user}").content)
    for number in range(60):
        for browser in users.values():
            print(browser.get("/me").content, browser.get(f"/page/{number % 5}").content[:20], end=" ")
            if number % 20 == 0:
                print("visits:", browser.get("/visit").content, end=" ")
        print()
    print(users["ann"].get("/logout").content, users["ann"].get("/me").content)

    cache.set("settings", {"theme": "dark"})
    for number in range(40):
        print(cache.get("settings"), cache.get("nothing", "-"), "settings" in cache, article(number % 5)[:10])
        print(cache.get_many(["settings", *(f"item:{number}" for number in range(10))]))
        if number == 10:
            print(cache.set_many({f"item:{number}": number for number in range(10)}))
        if number == 20:
            print(cache.add("once", 1), cache.add("once", 1), cache.incr("once"), cache.get("once"))
        if number == 30:
            print(cache.touch("settings", 100), cache.delete_many(["item:1", "item:2"]))
    print(cache.delete("settings"), cache.get("settings"))
    print("computed:", computed)


main()
