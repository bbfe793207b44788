from tests.handed_in import fork, handed_in  # noqa: F401 - fixtures
