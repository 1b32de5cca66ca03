"""The WSGI application."""

from datetime import UTC, datetime

from flask import Flask

QUOTES = ("Measure twice, cut once.", "Many hands make light work.", "Well begun is half done.")

app = Flask(__name__)


@app.get("/")
def quote_of_the_day() -> dict[str, str]:
    return {"quote": QUOTES[datetime.now(UTC).date().toordinal() % len(QUOTES)]}


@app.get("/healthz")
def healthz() -> dict[str, str]:
    return {"status": "ok"}
