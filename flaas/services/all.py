"""All services of a running process."""

from dataclasses import dataclass

from flaas.domain.ports import Files, Store
from flaas.services.accounts import Accounts
from flaas.services.catalogue import Catalogue
from flaas.services.cleanup import CleanUp
from flaas.services.devices import Devices
from flaas.services.outbox import OutboxSender
from flaas.services.projects import Projects
from flaas.services.reports import Reports
from flaas.services.rounds import Rounds
from flaas.services.signin import SignIn
from flaas.services.submissions import Submissions
from flaas.services.tokens import Tokens
from flaas.services.verification import Verification


@dataclass(frozen=True, slots=True)
class Services:
    store: Store
    files: Files
    accounts: Accounts
    sign_in: SignIn
    tokens: Tokens
    catalogue: Catalogue
    projects: Projects
    rounds: Rounds
    outbox: OutboxSender
    devices: Devices
    submissions: Submissions
    reports: Reports
    clean_up: CleanUp
    verification: Verification
