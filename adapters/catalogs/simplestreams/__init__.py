"""Images in simplestreams, the lists that Ubuntu's and the Incus servers publish."""
