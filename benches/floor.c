/* The floor: what starting any program costs. Does nothing; linked statically. */
int main(void) { return 0; }
