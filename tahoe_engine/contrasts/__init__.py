"""The stage `contrasts`: each treatment against its matched control, from the moments of groups."""
