"""`python -m changefeed`: the same as the command `changefeed`."""

from .cli import app

if __name__ == "__main__":
    app()
