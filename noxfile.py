"""Everyday tasks: `nox -s tests lint types doctests bench`."""

import nox

nox.options.sessions = ["tests", "lint", "types", "doctests"]
nox.options.default_venv_backend = "venv"


def install(session: nox.Session, extra: str) -> None:
    session.install("-c", "constraints.txt", f".[{extra}]")


@nox.session
def tests(session: nox.Session) -> None:
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    session.install("ruff", "clang-format==19.1.7")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("sh", "-c", "clang-format --dry-run -Werror csrc/*", external=True)


@nox.session
def types(session: nox.Session) -> None:
    install(session, "dev")
    session.run("mypy")


@nox.session
def doctests(session: nox.Session) -> None:
    install(session, "test")
    session.run("pytest", "--doctest-modules", "--pyargs", "ibfast")


@nox.session
def bench(session: nox.Session) -> None:
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)
