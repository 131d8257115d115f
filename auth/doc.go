// Package auth knows who calls: principals, the roles that they hold in task hubs, and the permissions that a role
// gives. It reads tokens and sessions from requests and decides whether a caller may do a thing; it stores nothing and
// imports nothing of ours: what it must look up is handed to it.
package auth
