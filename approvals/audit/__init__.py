"""The trail: recording events, and checking that nothing was changed, dropped or cut off."""
