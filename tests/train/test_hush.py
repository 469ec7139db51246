"""What libraries say of themselves stays away, what makes a result differ from run to run does not."""

import logging as python
import warnings

from huggingface_hub.utils import logging as hub
from transformers.utils import logging

from curate.train.hush import hushed


def test_libraries_are_silent_in_the_block_and_speak_after_it(recwarn):
    loggers = [logging.get_logger("transformers.x"), hub.get_logger("huggingface_hub.x")]
    logging.set_verbosity_warning()  # whatever other tests have left
    hub.set_verbosity_warning()
    logging.enable_progress_bar()
    with hushed():
        assert not any(logger.isEnabledFor(python.WARNING) for logger in loggers)
        assert all(logger.isEnabledFor(python.ERROR) for logger in loggers)
        assert not logging.is_progress_bar_enabled()
        warnings.warn("this is deprecated", FutureWarning, stacklevel=1)
    assert not recwarn.list
    assert all(logger.isEnabledFor(python.WARNING) for logger in loggers)
    assert logging.is_progress_bar_enabled()


def test_a_kernel_that_does_not_repeat_itself_is_told(recwarn):
    with hushed():
        warnings.warn("index_add_cuda_ does not have a deterministic implementation", stacklevel=1)
    assert "index_add_cuda_" in str(recwarn.pop().message)
