"""The nouns and verbs that cross lading's boundary: values, and the Protocols that speak them."""
