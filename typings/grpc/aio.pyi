from grpc import RpcError, StatusCode

class Metadata: ...

class AioRpcError(RpcError):
    def __init__(
        self,
        code: StatusCode,
        initial_metadata: Metadata,
        trailing_metadata: Metadata,
        details: str | None = None,
    ) -> None: ...
    def code(self) -> StatusCode: ...
    def details(self) -> str | None: ...
