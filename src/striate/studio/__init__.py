"""The Studio: a page that looks inside any net, with the user's own data, served by this process to this machine alone."""
