"""What many machines have in common: the build that all can run, who holds newer ones back, what would help (PURE).

Everything here rests on what the resolver says of each machine alone; machines that it judged alike are handled once.
"""

from .ending import exit_code_of, failures_of
from .members import Member, member_of, row_error
from .remarks import Remarks
from .survey import survey

__all__ = ["Member", "Remarks", "exit_code_of", "failures_of", "member_of", "row_error", "survey"]
