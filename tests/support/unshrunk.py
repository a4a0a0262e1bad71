"""A pytest plugin for `bin/guards`: hypothesis stops at the first example that fails and looks for no smaller one."""

from hypothesis import Phase, settings

settings.register_profile("unshrunk", phases=[Phase.explicit, Phase.generate], database=None)
settings.load_profile("unshrunk")
