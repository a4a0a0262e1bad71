"""What the API can do, by object. Each endpoint reads its parameters, acts, and ends with `call.reply`."""
