"""Volumes of a Cinder: asked for by its API, and attached to this host by os-brick."""
