module oneport/benches

go 1.26.0

require (
	github.com/soheilhy/cmux v0.1.5
	golang.org/x/net v0.62.0
)

require golang.org/x/text v0.43.0 // indirect
