"""What holds for all tests."""

from hypothesis import settings

# A slow machine is no mistake.
settings.register_profile("reviewmill", deadline=None)
settings.load_profile("reviewmill")
