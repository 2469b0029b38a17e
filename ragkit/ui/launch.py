"""Starting the application: Streamlit's settings and its server."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from ragkit.core.errors import ConfigError, MissingExtraError
from ragkit.core.settings import Settings
from ragkit.ui.options import Options
from ragkit.ui.workspace import Workspace, install

APP = Path(__file__).with_name("app.py")

ConfigValue: TypeAlias = str | int | bool
_LIGHT: Mapping[str, ConfigValue] = {
    "primaryColor": "#0f766e",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f4f6f8",
    "textColor": "#17202b",
    "linkColor": "#0f766e",
    "borderColor": "#dde3ea",
}
_DARK: Mapping[str, ConfigValue] = {
    "primaryColor": "#2dd4bf",
    "backgroundColor": "#10151c",
    "secondaryBackgroundColor": "#1a212b",
    "textColor": "#e5eaf1",
    "linkColor": "#5eead4",
    "borderColor": "#2b3543",
}


def streamlit_config(options: Options, settings: Settings) -> dict[str, ConfigValue]:
    """Return Streamlit's settings: no telemetry, loopback by default, bounded uploads, a theme."""
    config: dict[str, ConfigValue] = {
        "server.address": options.host,
        "server.port": options.port,
        "server.headless": not options.browser,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        # A full collection after each run of a page takes time from the answer that it waits for.
        "runner.postScriptGC": False,
        "server.maxUploadSize": settings.ingest.max_file_mb,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "localhost" if options.host == "0.0.0.0" else options.host,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "theme.baseRadius": "0.6rem",
        "theme.showWidgetBorder": True,
    }
    for name, colours in (("light", _LIGHT), ("dark", _DARK)):
        config |= {f"theme.{name}.{key}": value for key, value in colours.items()}
    return config


def launch(options: Options, make: Callable[[Settings], Workspace] | None = None) -> None:
    """Start the server and block until it is stopped.

    Args:
        options: Of the command line.
        make: Makes the workspace, instead of one of the settings.

    Raises:
        MissingExtraError: Streamlit is not installed.
        ConfigError: The settings cannot be read, or the port is taken.
    """
    settings = Settings.load(options.config)  # a mistake is reported before anything starts
    try:
        from streamlit.starlette import App
    except ImportError as error:
        raise MissingExtraError("streamlit", extra="ui") from error
    from starlette.middleware import Middleware

    from ragkit.ui.owner_cookie import OwnerCookie

    check_port(options)
    install(lambda: make(settings) if make else Workspace(options, settings=settings))
    App(APP, middleware=[Middleware(OwnerCookie)]).run(config=streamlit_config(options, settings))


def check_port(options: Options) -> None:
    """Raise `ConfigError` where the address cannot be listened on."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((options.host, options.port))
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {options.host}:{options.port}: {error.strerror or error}. "
                "Fix: stop what listens there, or choose another port with --port."
            ) from error
