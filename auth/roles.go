package auth

// Permission is one thing that a caller may do in a task hub, or in all of them.
type Permission string

// The permissions, from the least to the most.
const (
	// Read allows to see instances, entities, schedules, workers and figures, without the values that users put in.
	Read Permission = "READ"
	// ReadValues allows to see the values: inputs, outputs, failures' details, states of entities.
	ReadValues Permission = "READ_VALUES"
	// Control allows to steer what exists: suspend, resume, cancel, terminate, rewind, pause, redrive.
	Control Permission = "CONTROL"
	// Start allows to bring in what is new: start, restart, raise events, signal entities, change schedules and tags.
	Start Permission = "START"
	// Purge allows to remove instances and entities with their history.
	Purge Permission = "PURGE"
	// Work allows to execute orchestrations, activities and entities as a worker.
	Work Permission = "WORK"
	// Administer allows to change hubs, limits, retention, alerts, roles and API tokens, and to read the audit log.
	Administer Permission = "ADMINISTER"
)

// Permissions are all permissions, in the order of their declaration.
var Permissions = []Permission{Read, ReadValues, Control, Start, Purge, Work, Administer}

// Role is a named set of permissions, bound to a principal for one hub or for all.
type Role string

// The roles. Azure's Durable Task Scheduler has Reader, Worker and Contributor; an Operator is who is on call: steers
// instances without seeing what is in them, unless the server is told to show it.
const (
	Reader      Role = "READER"
	Operator    Role = "OPERATOR"
	Contributor Role = "CONTRIBUTOR"
	Worker      Role = "WORKER"
	Admin       Role = "ADMIN"
)

// Roles are all roles, in the order of their declaration.
var Roles = []Role{Reader, Operator, Contributor, Worker, Admin}

// AllHubs is the name under which a role is bound for every hub, those to come included, and for what belongs to none.
const AllHubs = "*"

// permissions are what each role may do.
var permissions = map[Role][]Permission{
	Reader:      {Read, ReadValues},
	Operator:    {Read, Control},
	Contributor: {Read, ReadValues, Control, Start, Purge},
	Worker:      {Work},
	Admin:       Permissions,
}

// Permissions are what the role allows, whatever the server is told about operators.
func (r Role) Permissions() []Permission { return permissions[r] }
