"""Associations and locks of many hosts, in etcd."""
