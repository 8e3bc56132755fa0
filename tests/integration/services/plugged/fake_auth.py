"""A paste filter for Glance in place of Keystone's: it believes any token that reads `user:project:role,role`."""

from collections.abc import Callable, Iterable
from typing import Any

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., object]], Iterable[bytes]]


def factory(_globals: object, **_settings: str) -> Callable[[Application], Application]:
    """What `paste.filter_factory` names."""
    return FakeAuth


class FakeAuth:
    """Says who asks by the headers that keystonemiddleware would set."""

    def __init__(self, application: Application) -> None:
        self.application = application

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        match environ.get("HTTP_X_AUTH_TOKEN", "").split(":"):
            case [user, project, roles]:
                environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
                environ["HTTP_X_USER_ID"] = user
                environ["HTTP_X_PROJECT_ID"] = project
                environ["HTTP_X_ROLES"] = roles
            case _:
                environ["HTTP_X_IDENTITY_STATUS"] = "Invalid"
        return self.application(environ, start_response)
