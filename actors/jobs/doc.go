// Package jobs is the actor that owns durable jobs: runs that were accepted by Submit and survive the host.
package jobs
