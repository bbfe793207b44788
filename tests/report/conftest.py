from tests.handed_in import fork, handed_in  # noqa: F401 - fixtures
from tests.small_runs import colours_judge, experiments_folder, kept  # noqa: F401
