"""Every exception Bioseg raises on purpose. Each message says what was wrong and what to do about it."""


class BiosegError(Exception):
    """Base of all expected failures; the edge (HTTP, command line) maps it once, by type.

    `request_id` names the request record that was kept of the failure, if any.
    """

    request_id: str | None = None


class ImageError(BiosegError):
    """An upload cannot be used as an image."""


class UnreadableImage(ImageError):
    """The bytes are no image, or a damaged one."""


class UnsupportedFormat(ImageError):
    """The bytes are of a format, pixel type or layout outside the allow-list."""


class StackNotAllowed(UnsupportedFormat):
    """The file holds several frames where one image is expected."""


class ImageTooLarge(ImageError):
    """The file or its pixels exceed a limit from the settings."""


class UnknownStudy(BiosegError):
    """No study has this name."""


class WrongTask(BiosegError):
    """The study does another task (segmentation or classification) than the call asked for."""


class UnknownVersion(BiosegError):
    """The registry holds no such version of the study."""


class VersionNotFound(UnknownVersion):
    """The same, of a version that the caller named."""


class UnknownRequest(BiosegError):
    """No request record has this id, or it is not the caller's."""


class UnknownPair(BiosegError):
    """No pair of a rollout has this id, or there is nothing of it to see."""


class AlreadyJudged(BiosegError):
    """A reviewer has judged this pair already; what a verdict may rest on does not change."""


class InvalidInput(BiosegError):
    """A parameter has a value outside the allowed ones."""


class IdempotencyConflict(BiosegError):
    """The same idempotency key came with another body."""


class Busy(BiosegError):
    """The queue in front of the models is full; try again later."""


class BundleError(BiosegError):
    """A bundle on disk is incomplete, altered, or does not reproduce its own sample."""


class RegistryUnavailable(BundleError):
    """The registry does not answer, and there is no copy of the bundle here."""


class RuntimeUnavailable(BiosegError):
    """The framework that a runtime or command needs is not installed."""


class DatasetError(BiosegError):
    """A dataset is missing, incomplete or not laid out as its publisher lays it out."""


class SettingsError(BiosegError):
    """The settings contradict each other or lack something required."""


class CannotStart(BiosegError):
    """The address to listen on is taken, or the state folder cannot be written."""


class BlobNotFound(BiosegError):
    """The blob store holds no bytes under this key."""


class StoreUnavailable(BiosegError):
    """A blob store or a mirror does not answer, or refuses.

    Parameters
    ----------
    message
        What happened and what to do; without secrets.
    retry_after
        Seconds for which it asked to be left alone, if it did.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(BiosegError):
    """The screen stopped an image; the request record is kept.

    Parameters
    ----------
    reason
        What the image looks like instead.
    request_id
        Of the stored record.
    screen
        The screen's answer: verdict (`ask` or `reject`), score, kind, reason and version.
    """

    def __init__(self, reason: str, request_id: str, screen: dict[str, str | float | None]) -> None:
        super().__init__(reason)
        self.request_id = request_id
        self.screen = screen


class TrackingError(BiosegError):
    """The MLflow server cannot be reached or refused something; what was to be shipped stays in the queue."""


class ProcessFailed(BiosegError):
    """A process that Bioseg started ended, does not answer, or answers with an error."""


class StaleRevision(BiosegError):
    """Somebody else has moved the study's aliases since the caller looked at them."""


class Frozen(BiosegError):
    """The study takes no new version until an operator unfreezes it."""


class NotProven(BiosegError):
    """The evidence does not allow the promotion that was asked for."""


class NoRollout(BiosegError):
    """The study has no rollout or promotion to act on, or a rollout runs that has to be stopped first."""


class DatabaseUnavailable(BiosegError):
    """The database does not answer, or cannot write now."""


class LedgerBroken(BiosegError):
    """A row of the ledger, or the evidence it was decided on, was altered."""


class UnknownDecision(BiosegError):
    """The ledger has no such row."""


class ArmFailed(BiosegError):
    """A version under trial crashed, hung, took too much memory, or gave no usable result."""
