// Empty: a file of assembler lets micro.go declare a function whose body is elsewhere.
