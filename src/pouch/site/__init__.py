"""The public pages: landing, pricing, models, docs; and the playground."""
