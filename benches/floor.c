/* The floor: the cost of starting any program. Does nothing; linked statically. */
int main(void) { return 0; }
