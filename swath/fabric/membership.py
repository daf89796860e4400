"""Who is there, and who has a name that two claim: pure state, events in, changes out."""

from __future__ import annotations

from swath.fabric.fabric import Change, Member


class Membership:
    """The members that one of them (``own``) sees, itself included.

    An identity is a member's start time and a random part, as text that sorts by age. Where two
    members claim one name, the elder has it; for everybody, whatever he sees first. So the younger
    can be told to leave, and nobody mistakes it for the elder meanwhile.
    """

    def __init__(self, own: Member, identity: str) -> None:
        self._own = own
        self._identity = identity
        self._claims: dict[str, dict[str, Member]] = {own.name: {identity: own}}

    @property
    def is_taken(self) -> bool:
        """Whether this member's own name belongs to an elder one."""
        return self._holder(self._own.name) != self._identity

    def members(self) -> tuple[Member, ...]:
        """Everybody who has a name of his own, by name."""
        return tuple(self._claims[name][min(self._claims[name])] for name in sorted(self._claims))

    def find(self, name: str) -> tuple[Member, str] | None:
        """The member of this name and its identity."""
        identity = self._holder(name)
        return None if identity is None else (self._claims[name][identity], identity)

    def is_elder(self, name: str, identity: str) -> bool:
        """Whether the name belongs to that identity."""
        return self._holder(name) == identity

    def apply(self, member: Member, identity: str, came: bool) -> list[Change]:
        """Somebody came or went; what has changed for this member thereby."""
        before = self.find(member.name)
        claims = self._claims.setdefault(member.name, {})
        if came:
            claims[identity] = member
        elif (member.name, identity) != (self._own.name, self._identity):
            claims.pop(identity, None)
        if not claims:
            del self._claims[member.name]
        after = self.find(member.name)
        if before == after or member.name == self._own.name:
            return []
        changes = [Change(before[0], False)] if before is not None else []
        return changes + ([Change(after[0], True)] if after is not None else [])

    def _holder(self, name: str) -> str | None:
        return min(self._claims.get(name, ()), default=None)
