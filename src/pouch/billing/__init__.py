"""The pages where a customer sees and buys credits."""
