"""What operators did, and what two of them must agree on."""
