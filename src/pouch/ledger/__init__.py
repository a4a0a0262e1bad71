"""The only writer of balances: accounts, transfers, holds, limits."""
