"""Feature tables: split first, everything fitted on training rows only, nothing that knows the target."""
