"""The planted bugs: what somebody could get wrong in each part, and the tests that must notice."""

from tests.mutants.changing import CHANGING
from tests.mutants.checking import CHECKING
from tests.mutants.embedding import EMBEDDING
from tests.mutants.guarding import GUARDING
from tests.mutants.misleading import MISLEADING
from tests.mutants.ordering import ORDERING
from tests.mutants.running import REFUSING, REPLAYING, TRYING, WAITING
from tests.mutants.storing import COMMITTING, OWNING, SUSPECTING
from tests.mutants.telling import TELLING
from tests.mutants.transacting import TRANSACTING

MUTANTS = (
    *COMMITTING,
    *OWNING,
    *SUSPECTING,
    *WAITING,
    *REPLAYING,
    *TRYING,
    *REFUSING,
    *MISLEADING,
    *CHECKING,
    *CHANGING,
    *TELLING,
    *ORDERING,
    *GUARDING,
    *EMBEDDING,
    *TRANSACTING,
)
