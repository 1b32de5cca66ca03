"""What the workspace's members share."""

import msgspec


class Greeting(msgspec.Struct):
    name: str

    def to_json(self) -> str:
        return msgspec.json.encode(self).decode()
