"""Which AI models there are and what a call costs: upstreams, models, dated prices."""
